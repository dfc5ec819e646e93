"""An entry says by itself what the call was for and from; the first version left that to its reservation."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0003_money'),
    ]

    operations = [
        migrations.RunSQL(
            """
            UPDATE billing_ledgerentry SET
                experiment_id = (SELECT r.experiment_id FROM billing_reservation r WHERE r.id = reservation_id),
                language_model_id = (SELECT r.language_model_id FROM billing_reservation r WHERE r.id = reservation_id),
                price_id = (SELECT r.price_id FROM billing_reservation r WHERE r.id = reservation_id),
                purpose = (SELECT r.purpose FROM billing_reservation r WHERE r.id = reservation_id)
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
