from django.db import migrations

from apps.core.models.base import new_uid


def tell_managers(apps, schema_editor):
    """Teams that have budgets already get what a team gets with its first one: alerts go to its owners and admins."""
    destinations = apps.get_model("billing", "AlertDestination")
    teams = apps.get_model("billing", "Budget").objects.order_by().values_list("team_id", flat=True).distinct()
    for team_id in teams:
        destinations.objects.create(uid=new_uid(), team_id=team_id, kind="email", address="")


class Migration(migrations.Migration):

    dependencies = [("billing", "0008_alerts")]

    operations = [migrations.RunPython(tell_managers, migrations.RunPython.noop)]
