from django.db import migrations, models


class Migration(migrations.Migration):
    """An experiment that cannot end is shown as failed by what it waits for; no row was ever stored as that."""

    dependencies = [
        ("experiments", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="experiment",
            name="state",
            field=models.CharField(
                choices=[("draft", "Being set up"), ("registered", "Running"), ("finished", "Finished")],
                default="draft",
                max_length=12,
            ),
        ),
    ]
