# The operator, the exchange simulator and the fire drill in one image: `docker build .` or `buildah build .`
#
# BASE is what it runs on: any image with a shell and Python 3.11 or newer as python3. BUILD_BASE is the same with pip
# 22.3 or newer, and needs neither a compiler nor git: each dependency is a wheel, held to the hashes in requirements/.
ARG BASE=python:3.13-slim-bookworm
ARG BUILD_BASE=${BASE}

# Bytecode is hash-based and unchecked: nobody may write to the image, so its files never change.
FROM ${BUILD_BASE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_NO_WARN_SCRIPT_LOCATION=1 \
    PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements requirements
RUN python3 -m venv --without-pip /opt/build \
 && python3 -m pip --python /opt/build/bin/python install --quiet --require-hashes -r requirements/build.txt \
 && python3 -m venv --without-pip /opt/accountsync \
 && python3 -m pip --python /opt/accountsync/bin/python install --quiet --require-hashes -r requirements/runtime.txt \
 && /opt/accountsync/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/accountsync/lib

# Apart from the dependencies, so that a new version of the project is a small layer on theirs.
FROM dependencies AS project
COPY . .
RUN python3 -m pip --python /opt/build/bin/python wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
 && python3 -m pip --python /opt/accountsync/bin/python install --quiet --no-deps --no-index --root /project /wheel/*.whl \
 && /opt/accountsync/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /project -p / /project/opt

FROM ${BASE}
# Bytecode of the standard library too, where the base leaves it out; no pip; a name for the user.
RUN python3 -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip \
 && echo 'accountsync:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd
COPY --from=dependencies /opt/accountsync /opt/accountsync
COPY --from=project /project/ /
ENV PATH=/opt/accountsync/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="accountsync" \
      org.opencontainers.image.description="Notices when a trading bot's belief and its exchange account part, and stops the bot" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["accountsync"]
CMD ["operator"]
