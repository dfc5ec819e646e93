"""Routes of feedback below /api/v1/."""

from django.urls import path

from apps.feedback.api import views

urlpatterns = [
    path("feedback", views.feedback, name="api_feedback"),
    path("feedback/<uuid:uid>", views.feedback_said, name="api_feedback_said"),
]
