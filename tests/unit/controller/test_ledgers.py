import subprocess
import sys


def test_an_operator_without_ledgers_has_no_database_driver_in_memory() -> None:
    code = "import sys, accountsync.controller.operator; print('psycopg' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
