"""Addresses of the operations' pages, below an account's slug."""

from django.urls import path

from activity import views

urlpatterns = [
    path("operations/", views.operation_list, name="operation_list"),
    path("operations/<uuid:mark>/", views.operation_detail, name="operation_detail"),
    path("operations/<uuid:mark>/cancel/", views.operation_cancel, name="operation_cancel"),
]
