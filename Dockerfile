# The product's image: web, worker and beat are the same image with another command.
# BASE_IMAGE is any Debian 12 with python3 and its venv module; the last stage has no compiler and no npm.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS assets
# Certificates of a company's own, for networks that need them to reach the registries; they do not enter the image.
ARG PIP_CERT
ARG NODE_EXTRA_CA_CERTS
WORKDIR /build
COPY requirements-assets.lock ./
RUN python3 -m venv /opt/node \
    && /opt/node/bin/pip install --quiet --no-cache-dir --require-hashes --no-deps -r requirements-assets.lock
COPY assets assets
COPY static static
RUN PATH=/opt/node/bin:$PATH /opt/node/bin/python assets/build.py

FROM ${BASE_IMAGE} AS packages
ARG PIP_CERT
COPY requirements.lock ./
RUN python3 -m venv /opt/zoobatch \
    && /opt/zoobatch/bin/pip install --quiet --no-cache-dir --require-hashes --no-deps -r requirements.lock \
    && /opt/zoobatch/bin/pip uninstall --quiet --yes pip

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 zoobatch && useradd --uid 10001 --gid 10001 --create-home zoobatch \
    && install --directory --owner zoobatch --group zoobatch --mode 0700 /var/lib/zoobatch
COPY --from=packages /opt/zoobatch /opt/zoobatch
WORKDIR /app
COPY manage.py ./
COPY dashboard dashboard
COPY activity activity
COPY pools pools
COPY jobs jobs
COPY cloud cloud
COPY templates templates
COPY --from=assets /build/static static
ENV PATH=/opt/zoobatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ZOOBATCH_ENV=production ZOOBATCH_DATA_DIR=/var/lib/zoobatch
RUN ZOOBATCH_ENV=build python manage.py collectstatic --noinput --verbosity 0
USER zoobatch
VOLUME /var/lib/zoobatch
EXPOSE 8000
CMD ["gunicorn", "dashboard.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--keep-alive", "75", "--graceful-timeout", "5"]
