# What the Python suites share: fetching a source package whose sum is in a file, and pytest beside the drivers.

# fetch FILE: unpacks the source package that FILE pins into `source`.
fetch() {
    $RUN -m pip download -q --no-deps --no-binary :all: --require-hashes -r "$FILES/$1" -d fetched
    mkdir -p source
    tar -xzf fetched/*.tar.gz -C source --strip-components=1
    $RUN -m pip install -q --no-deps --target site -r "$FILES/pytest.txt"
}

# check FOLDER ARGUMENTS…: runs pytest with the packages in FOLDER before all others.
check() {
    local first=$1
    shift
    export PYTHONPATH=$first:$SUITE_HOME/site PYTHONUNBUFFERED=1
    $RUN -m pytest -v -p no:cacheprovider -o console_output_style=classic --color=no --tb=short "$@"
}
