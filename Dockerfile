# The server in a small image. Each stage does what a step of `make setup` does.
#
#   docker build -t neonhub-agent-scheduler .
#   docker run -p 5000:5000 -e JWT_SECRET=... -v neonhub:/data neonhub-agent-scheduler
#
# compose.yaml runs it with MongoDB and Redis.

FROM python:3.13-slim AS environment
WORKDIR /build
COPY requirements.txt .
# Wheels only: what would have to be compiled stops the build, as there is nothing here to compile it with.
RUN python -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: -r requirements.txt \
 && /opt/venv/bin/python -m pip uninstall --yes --quiet pip

FROM node:22-slim AS page
WORKDIR /page
COPY static/package.json static/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home neonhub \
 && install -d -o neonhub -g neonhub /data
WORKDIR /app
COPY --from=environment /opt/venv /opt/venv
COPY . .
COPY --from=page /page/node_modules static/node_modules

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=5000 \
    DATA_DIR=/data
# neonhub, by number: Kubernetes can then see that it is not root.
USER 10001
VOLUME /data
EXPOSE 5000
# The server ends on SIGTERM within SHUTDOWN_GRACE (10 s) and a few seconds more: `docker stop --time 30`.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health\", timeout=4)"]
CMD ["python", "-m", "server"]
