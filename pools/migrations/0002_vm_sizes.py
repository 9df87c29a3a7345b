"""Fill the table of VM sizes from the copy that the project carries."""

from django.db import migrations

from pools.data.sizes import read_sizes


def seed(apps, schema_editor):
    """Add the sizes, leaving alone what an administrator has written meanwhile."""
    VmSize = apps.get_model("pools", "VmSize")
    columns = {field.name for field in VmSize._meta.get_fields()}
    for row in read_sizes():
        known = {name: value for name, value in row.items() if name in columns}
        VmSize.objects.get_or_create(name=known.pop("name"), defaults=known)


class Migration(migrations.Migration):
    dependencies = [("pools", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
