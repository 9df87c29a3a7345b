"""Addresses of the pools' pages, below an account's slug."""

from django.urls import path

from activity import converters as _converters  # noqa: F401  (registers them)
from pools import views

urlpatterns = [
    path("pools/", views.pool_list, name="pool_list"),
    path("pools/new/", views.pool_create, name="pool_create"),
    path("pools/new/summary/", views.pool_summary, name="pool_summary"),
    path("pools/new/images/", views.pool_images, name="pool_images"),
    path("pools/<subject:batch_id>/", views.pool_detail, name="pool_detail"),
    path("pools/<subject:batch_id>/resize/", views.pool_resize, name="pool_resize"),
    path("pools/<subject:batch_id>/autoscale/", views.pool_autoscale, name="pool_autoscale"),
    path("pools/<subject:batch_id>/fix/", views.pool_fix, name="pool_fix"),
    path("pools/<subject:batch_id>/stop-resize/", views.pool_stop_resize, name="pool_stop_resize"),
    path("pools/<subject:batch_id>/delete/", views.pool_delete, name="pool_delete"),
    path("pools/<subject:batch_id>/nodes/<batchid:node_id>/reboot/", views.node_reboot, name="node_reboot"),
]
