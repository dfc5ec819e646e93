"""Routes of experiments and evaluations below /t/<team>/."""

from django.urls import path

from apps.evaluation.views import evaluations, experiments, outputs, reports

urlpatterns = [
    path("experiments/", experiments.experiment_list, name="experiments"),
    path("experiments/<uuid:uid>/", experiments.experiment, name="experiment"),
    path("experiments/<uuid:uid>/outputs/", outputs.output_list, name="experiment_outputs"),
    path("experiments/<uuid:uid>/outputs/<slug:example>/", outputs.output, name="experiment_output"),
    path("experiments/<uuid:uid>/cost/", experiments.cost, name="experiment_cost"),
    path("experiments/<uuid:uid>/setup/", experiments.setup, name="experiment_setup"),
    path("experiments/<uuid:uid>/report/", experiments.report, name="experiment_report"),
    path("experiments/<uuid:uid>/report/report.json", reports.report_json, name="experiment_report_json"),
    path("experiments/<uuid:uid>/report/report.md", reports.report_md, name="experiment_report_markdown"),
    path("evaluations/<uuid:uid>/", evaluations.evaluation, name="evaluation"),
]
