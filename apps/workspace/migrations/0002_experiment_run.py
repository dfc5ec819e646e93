import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The job of the quickstart runs any experiment, so it is named after that."""

    dependencies = [
        ("accounts", "0001_initial"),
        ("experiments", "0003_own_data"),
        ("training", "0002_process_ticks"),
        ("workspace", "0001_initial"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="quickstart", name="quickstart_once_per_definition"),
        migrations.RenameModel(old_name="Quickstart", new_name="ExperimentRun"),
        migrations.AlterModelOptions(
            name="experimentrun",
            options={"ordering": ["-id"], "verbose_name": "experiment run"},
        ),
        migrations.AlterField(
            model_name="experimentrun",
            name="experiment",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="run",
                to="experiments.experiment",
            ),
        ),
        migrations.AlterField(
            model_name="experimentrun",
            name="team",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="experiment_runs", to="accounts.team"
            ),
        ),
        migrations.AlterField(
            model_name="experimentrun",
            name="training_run",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="experiment_run",
                to="training.trainingrun",
            ),
        ),
        migrations.AddConstraint(
            model_name="experimentrun",
            constraint=models.UniqueConstraint(fields=("team", "definition_hash"), name="experiment_run_once"),
        ),
    ]
