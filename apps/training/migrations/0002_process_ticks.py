from django.db import migrations, models


class Migration(migrations.Migration):
    """Start times of processes in clock ticks. The seconds stored before say nothing in that unit, so they go."""

    dependencies = [
        ("training", "0001_initial"),
    ]

    operations = [
        migrations.RemoveField(model_name="trainingrun", name="host_started_at"),
        migrations.RemoveField(model_name="trainingrun", name="engine_started_at"),
        migrations.AddField(
            model_name="trainingrun",
            name="host_started_ticks",
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="engine_started_ticks",
            field=models.PositiveBigIntegerField(null=True),
        ),
    ]
