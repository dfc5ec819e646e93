from typing import Any

from django.db import migrations, models


def seal_anew(apps: Any, schema_editor: Any) -> None:
    """The hash now covers team and actor as well: housekeeping seals what there is once more."""
    apps.get_model("core", "AuditEvent").objects.update(sequence=None, previous_hash="", hash="")


class Migration(migrations.Migration):
    """SQLite never had the first constraint: it makes none of those that say how NULL compares."""

    dependencies = [
        ("core", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(seal_anew, migrations.RunPython.noop),
        migrations.RemoveConstraint(model_name="auditevent", name="audit_sequence_unique"),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.UniqueConstraint(fields=("team", "sequence"), name="audit_sequence_unique"),
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.UniqueConstraint(
                condition=models.Q(("team__isnull", True)), fields=("sequence",), name="audit_sequence_unique_no_team"
            ),
        ),
    ]
