"""Routes of a team's home and jobs, below /t/<team>/."""

from django.urls import path

from apps.workspace import views

urlpatterns = [
    path("", views.home, name="home"),
    path("experiments/<uuid:uid>/progress/", views.quickstart_progress, name="quickstart_progress"),
    path("jobs/", views.job_list, name="jobs"),
    *(
        path(f"jobs/<slug:kind>/<uuid:uid>/{action}/", views.job_change, {"action": action}, name=f"job_{action}")
        for action in views.ACTIONS
    ),
]
