"""Routes without a team: start, sign-in, account."""

from django.urls import path

from apps.accounts.views import account, operators, signing_in

urlpatterns = [
    path("", signing_in.start, name="start"),
    path("sign-in/", signing_in.sign_in, name="sign_in"),
    path("sign-in/link/<str:token>/", signing_in.sign_in_link, name="sign_in_link"),
    path("sign-out/", signing_in.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("account/password/", account.password, name="account_password"),
    path("account/programs/", account.programs, name="account_programs"),
    # In front of the admin's own pages at these addresses.
    path("admin/login/", operators.admin_sign_in, name="admin_sign_in"),
    path("admin/password_change/", operators.admin_password, name="admin_password"),
]
