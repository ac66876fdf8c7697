FROM python:3.13-slim AS install
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY frontend-demo ./frontend-demo
COPY crdt ./crdt
COPY server ./server
# This builds the page too, with a Node.js that comes for it and does not stay.
RUN python -m venv /opt/cowrite \
    && /opt/cowrite/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home cowrite \
    && install --directory --owner=cowrite --group=cowrite /data
COPY --from=install /opt/cowrite /opt/cowrite
# A container is reached from outside itself, so it listens on all of its addresses.
ENV PATH=/opt/cowrite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COWRITE_HOST=0.0.0.0 \
    COWRITE_PORT=8000 \
    COWRITE_DATA=/data
USER cowrite
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['COWRITE_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["cowrite"]
CMD ["serve"]
