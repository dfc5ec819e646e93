"""Routes of a team's home and jobs, and of what makes an experiment, below /t/<team>/."""

from django.urls import path

from apps.workspace.views import candidates, drafts, plans, playground, team

EXPERIMENT = "experiments/<uuid:uid>"

urlpatterns = [
    path("", team.home, name="home"),
    path("experiments/new/", drafts.experiment_new, name="experiment_new"),
    path(f"{EXPERIMENT}/edit/", drafts.experiment_edit, name="experiment_edit"),
    path(f"{EXPERIMENT}/clone/", drafts.experiment_copy, name="experiment_clone"),
    path(f"{EXPERIMENT}/fresh-test/", drafts.experiment_fresh_test, name="experiment_fresh_test"),
    path(f"{EXPERIMENT}/candidates/", candidates.candidates, name="experiment_candidates"),
    path(f"{EXPERIMENT}/candidates/new/", candidates.candidates_new, name="candidates_new"),
    path(
        f"{EXPERIMENT}/candidates/<uuid:candidate>/take-back/", candidates.candidate_take_back, name="candidate_remove"
    ),
    path(f"{EXPERIMENT}/candidates/<uuid:candidate>/reference/", candidates.reference, name="candidate_reference"),
    path(f"{EXPERIMENT}/validate/", candidates.validate, name="experiment_validate"),
    path(f"{EXPERIMENT}/final-test/", candidates.final_test, name="experiment_final_test"),
    path(f"{EXPERIMENT}/notes/", candidates.notes, name="experiment_notes"),
    path(f"{EXPERIMENT}/progress/", team.quickstart_progress, name="quickstart_progress"),
    path("datasets/<uuid:uid>/v/<int:number>/plan/", plans.plan, name="plan"),
    path("plans/<uuid:uid>/", plans.plan_started, name="plan_started"),
    path("playground/", playground.playground, name="playground"),
    path("playground/<uuid:uid>/", playground.playground_run_page, name="playground_run"),
    path("playground/<uuid:uid>/answers/<int:number>/", playground.playground_answer_stream, name="playground_answer"),
    path("playground/<uuid:uid>/vote/", playground.playground_vote_press, name="playground_vote"),
    path("jobs/", team.job_list, name="jobs"),
    path("jobs/notices/", team.notices, name="notices"),
    *(
        path(f"jobs/<slug:kind>/<uuid:uid>/{action}/", team.job_change, {"action": action}, name=f"job_{action}")
        for action in team.ACTIONS
    ),
]
