"""The demo's container images: real manifests and configs with one small layer, named as Zooniverse's are."""

from collections.abc import Iterator

from examples.registry import ImageSource, layer_of

REPOSITORY, TAG = "pytorch", "2.5.1-gpu-py3"
"""What the demo's pool and jobs use."""

_ABOUT = """This image belongs to zoobatch's demo.

It has the form of a Zoobot runtime image, so that there is something to choose from, but no PyTorch: the local Azure
runs the demo's tasks as plain processes with the project's own Python. Push a real image to see real containers.
"""


def demo_images() -> Iterator[tuple[str, str, ImageSource]]:
    """Yield repository, tag and content of each image."""
    yield REPOSITORY, "1.10.1-gpu-py3", _gpu("11.3.1", "11.3", "2026-03-02T09:00:00Z")
    yield REPOSITORY, "2.4.1-gpu-py3", _gpu("12.1.1", "12.1", "2026-06-15T09:00:00Z")
    yield REPOSITORY, TAG, _gpu("12.4.1", "12.4", "2026-10-20T09:00:00Z")
    yield REPOSITORY, "2.5.1-cpu-py3", _image({}, "2026-10-20T09:05:00Z", "for nodes without a GPU")
    yield "tools/gpu-check", "1.0", _gpu("12.4.1", "12.4", "2026-09-01T12:00:00Z")


def _gpu(cuda: str, minimum: str, created: str) -> ImageSource:
    environment = {
        "CUDA_VERSION": cuda,
        "NVIDIA_REQUIRE_CUDA": f"cuda>={minimum}",
        "NVIDIA_VISIBLE_DEVICES": "all",
    }
    return _image(environment, created, f"CUDA {cuda}")


def _image(environment: dict[str, str], created: str, what: str) -> ImageSource:
    path = "/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return ImageSource(
        layers=[layer_of({"etc/zoobatch-demo": _ABOUT.encode()})],
        environment={"PATH": path, **environment},
        labels={
            "org.opencontainers.image.title": "Sample of a Zoobot runtime image",
            "org.opencontainers.image.description": f"{what}; {_ABOUT.splitlines()[0]}",
        },
        command=["/bin/bash"],
        created=created,
    )
