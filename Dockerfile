# The sorter on a slim base, for SpikeInterface's container list and for clusters:
#
#     docker build --tag neural-spike-sorter .
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/data neural-spike-sorter run STUDY --out OUT
#
# The wheel is built in a first stage, so that the image holds no build tools and no history.
# `--build-arg PYTHON_IMAGE=...` names another base: Debian with Python and pip.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The version comes from the tag, which the build needs git to read.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "uv>=0.5" && uv build --wheel --out-dir /dist

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
COPY --from=build /dist /dist
# hadolint ignore=DL3013
RUN wheel=$(echo /dist/*.whl) \
    && pip install --no-cache-dir "${wheel}[nwb,parquet,phy]" \
    && rm -r /dist \
    && useradd --create-home --uid 1000 sorter
USER 1000
WORKDIR /data
# Compiled code is kept in the user's cache; a read-only image is told another place.
ENV NUMBA_CACHE_DIR=/tmp/numba
ENTRYPOINT ["spikesorter"]
CMD ["--help"]
