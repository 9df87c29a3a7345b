"""Root routes."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.urls.resolvers import URLPattern, URLResolver

from dashboard import health, views

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("<slug:slug>/", views.overview, name="overview"),
    path("<slug:slug>/sync/", views.sync_pill, name="sync_pill"),
    path("<slug:slug>/", include("pools.urls")),
    path("<slug:slug>/", include("jobs.urls")),
    path("<slug:slug>/", include("activity.urls")),
]
