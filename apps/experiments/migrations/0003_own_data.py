import apps.core.models.base
from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def fill_answers(apps: Any, schema_editor: Any) -> None:
    """What an answer is stood in a version's facts before it had a place of its own."""
    for version in apps.get_model("experiments", "DatasetVersion").objects.all():
        if version.facts.get("answer_format") == "json":
            version.answer = {"format": "json", "fields": version.facts.get("answer_fields", [])}
            version.save(update_fields=["answer"])
    for experiment in apps.get_model("experiments", "Experiment").objects.select_related("dataset_version"):
        experiment.answer = experiment.dataset_version.answer
        experiment.save(update_fields=["answer"])


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('experiments', '0002_experiment_states'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='prompt',
            options={'ordering': ['-id'], 'verbose_name': 'prompt'},
        ),
        migrations.AlterModelOptions(
            name='promptversion',
            options={'ordering': ['-number'], 'verbose_name': 'prompt version'},
        ),
        migrations.AddField(
            model_name='candidate',
            name='late',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='datasetversion',
            name='answer',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='datasetversion',
            name='columns',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='datasetversion',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='datasetversion',
            name='parent',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='derived', to='experiments.datasetversion'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='answer',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='experiment',
            name='notes',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='prompt',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='prompt',
            name='description',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='promptversion',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='promptversion',
            name='note',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=apps.core.models.base.new_uid, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('status', models.CharField(choices=[('planned', 'Planned'), ('queued', 'Waiting'), ('running', 'Running'), ('paused', 'Paused'), ('succeeded', 'Finished'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], db_index=True, default='planned', max_length=12)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('claim', models.CharField(blank=True, max_length=80)),
                ('queued_at', models.DateTimeField(null=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('pause_requested', models.BooleanField(default=False)),
                ('phase', models.CharField(blank=True, max_length=80)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(default=0)),
                ('seconds_left_low', models.FloatField(null=True)),
                ('seconds_left_high', models.FloatField(null=True)),
                ('error', models.TextField(blank=True)),
                ('error_kept', models.TextField(blank=True)),
                ('error_next', models.TextField(blank=True)),
                ('name', models.CharField(max_length=200)),
                ('stored_name', models.CharField(max_length=80, unique=True)),
                ('size_bytes', models.PositiveBigIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('inspection', models.JSONField(default=dict)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uploads', to='accounts.team')),
            ],
            options={
                'verbose_name': 'upload',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='DatasetImport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=apps.core.models.base.new_uid, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('status', models.CharField(choices=[('planned', 'Planned'), ('queued', 'Waiting'), ('running', 'Running'), ('paused', 'Paused'), ('succeeded', 'Finished'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], db_index=True, default='planned', max_length=12)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('claim', models.CharField(blank=True, max_length=80)),
                ('queued_at', models.DateTimeField(null=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('pause_requested', models.BooleanField(default=False)),
                ('phase', models.CharField(blank=True, max_length=80)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(default=0)),
                ('seconds_left_low', models.FloatField(null=True)),
                ('seconds_left_high', models.FloatField(null=True)),
                ('error', models.TextField(blank=True)),
                ('error_kept', models.TextField(blank=True)),
                ('error_next', models.TextField(blank=True)),
                ('name', models.CharField(max_length=160)),
                ('mapping', models.JSONField(default=dict)),
                ('answer', models.JSONField(default=dict)),
                ('split_seed', models.PositiveBigIntegerField()),
                ('report', models.JSONField(default=dict)),
                ('staged', models.CharField(blank=True, max_length=300)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('dataset', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='imports', to='experiments.dataset')),
                ('dataset_version', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='made_by_import', to='experiments.datasetversion')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='dataset_imports', to='accounts.team')),
                ('upload', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='imports', to='experiments.upload')),
            ],
            options={
                'verbose_name': 'dataset import',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='PromptLabel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=apps.core.models.base.new_uid, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('name', models.CharField(max_length=40)),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='labels', to='experiments.prompt')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='labels', to='experiments.promptversion')),
            ],
            options={
                'verbose_name': 'prompt label',
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('prompt', 'name'), name='prompt_label_once')],
            },
        ),
        migrations.RunPython(fill_answers, migrations.RunPython.noop),
    ]
