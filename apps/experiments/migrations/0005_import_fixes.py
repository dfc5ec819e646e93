from django.db import migrations, models

import apps.experiments.models.uploads


class Migration(migrations.Migration):
    dependencies = [("experiments", "0004_split_shares")]

    operations = [
        migrations.AddField(
            model_name="datasetimport",
            name="fixes",
            field=models.JSONField(default=apps.experiments.models.uploads.every_fix),
        ),
    ]
