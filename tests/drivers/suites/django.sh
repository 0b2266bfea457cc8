# Django's own tests of what its database layer does.
. "$FILES/python.sh"
case $1 in
build)
    fetch django.txt
    ;;
run)
    echo "# version 5.2.19"
    cd source/tests
    cat >weir_settings.py <<END
def database(name):
    return {"ENGINE": "django.db.backends.mysql", "HOST": "$WEIR_HOST", "PORT": "$WEIR_PORT", "USER": "$WEIR_USER",
            "PASSWORD": "$WEIR_PASSWORD", "NAME": name, "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_general_ci"}}
DATABASES = {"default": database("django_default"), "other": database("django_other")}
SECRET_KEY = "weir"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
END
    export PYTHONPATH=..:. PYTHONUNBUFFERED=1
    $RUN runtests.py --settings=weir_settings --parallel=1 --noinput -v 2 backends queries transactions transaction_hooks basic \
        bulk_create aggregation schema migrations inspectdb introspection select_for_update 2>&1
    ;;
esac
