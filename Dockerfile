# Three images from one file: `service` (API, worker, scheduler), `load` (locust) and `lab` (Jupyter).
# Versions are those of requirements.lock and every download is checked against its hashes.

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON=/opt/venv/bin/python
WORKDIR /src
RUN python -m venv /opt/venv
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN sed -n '/^uv==/,/# via/p' requirements.lock > uv.lock && pip install --no-cache-dir --require-hashes -r uv.lock

# The dependencies first, from the empty packages of the project: a change of code does not install them again.
FROM build AS build-service
RUN mkdir service workloads benchmarks && touch service/__init__.py workloads/__init__.py benchmarks/__init__.py \
    && uv pip install --no-cache -c requirements.lock setuptools \
    && uv pip install --no-cache -c requirements.lock --no-build-isolation .
COPY service service
RUN uv pip install --no-cache --no-deps --no-build-isolation --reinstall-package holdfast .

FROM build-service AS build-load
RUN uv pip install --no-cache -c requirements.lock --no-build-isolation '.[load]'
COPY workloads workloads
COPY benchmarks benchmarks
RUN uv pip install --no-cache --no-deps --no-build-isolation --reinstall-package holdfast .

FROM build-load AS build-lab
RUN uv pip install --no-cache -c requirements.lock --no-build-isolation '.[load,notebooks]'

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS base
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --create-home --uid 10001 holdfast
WORKDIR /home/holdfast
USER holdfast

FROM base AS load
COPY --from=build-load /opt/venv /opt/venv
COPY workloads workloads
EXPOSE 8089
CMD ["holdfast", "load", "--help"]

FROM base AS lab
COPY --from=build-lab /opt/venv /opt/venv
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--notebook-dir=/home/holdfast/notebooks"]

FROM base AS service
COPY --from=build-service /opt/venv /opt/venv
EXPOSE 8000
CMD ["python", "-m", "service.app", "--host", "0.0.0.0", "--port", "8000"]
