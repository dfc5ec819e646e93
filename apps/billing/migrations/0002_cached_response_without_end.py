from django.db import migrations


class Migration(migrations.Migration):
    """No answer was ever given an end."""

    dependencies = [
        ("billing", "0001_initial"),
    ]

    operations = [
        migrations.RemoveField(model_name="cachedresponse", name="expires_at"),
    ]
