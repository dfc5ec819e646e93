from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('workspace', '0003_playground'),
    ]

    operations = [
        migrations.AddField(
            model_name='playgroundanswer',
            name='first_piece_ms',
            field=models.FloatField(null=True),
        ),
    ]
