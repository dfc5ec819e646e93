import django.db.models.deletion
from django.db import migrations, models

import apps.core.models.base


class Migration(migrations.Migration):

    dependencies = [
        ('workspace', '0004_first_piece'),
    ]

    operations = [
        migrations.CreateModel(
            name='PlaygroundTurn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=apps.core.models.base.new_uid, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('number', models.PositiveSmallIntegerField()),
                ('token', models.UUIDField()),
                ('holder', models.CharField(max_length=200)),
                ('expires_at', models.DateTimeField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='workspace.playgroundrun')),
            ],
            options={
                'verbose_name': 'playground turn',
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('run', 'number'), name='playground_turn_once')],
            },
        ),
    ]
