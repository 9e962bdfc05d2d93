"""This machine as `plan` needs it: a device with measured speeds, among all devices by name."""

from zeropoint.cache import config_directory
from zeropoint.checkpoints.files.user_files import TABLE_BYTES, read_user_text
from zeropoint.errors import RecipeError, UnsupportedModel
from zeropoint.kernels import benchmark_machine
from zeropoint.kernels.machine import this_machine
from zeropoint.plans.machines.catalog import DeviceCatalog, shipped_devices, with_user_devices
from zeropoint.plans.machines.local_machine import LocalMachine, local_machine


def load_local_machine() -> LocalMachine:
    """Return this machine with speeds of an earlier benchmark, if any. Measures nothing."""
    return local_machine(this_machine(), benchmark_machine.load_benchmark())


def measure_local_machine() -> LocalMachine:
    """Benchmark this machine, which takes some seconds, and cache the result.

    Raises RecipeError without the compiled kernels.
    """
    benchmark = benchmark_machine.measure_machine()
    if benchmark is None:
        raise RecipeError(
            "this machine cannot be measured without the compiled kernels; name another device"
            " with --device, or describe one with --memory 24GiB --bandwidth 936"
        )
    return local_machine(this_machine(), benchmark)


def load_devices(local: LocalMachine | None = None) -> DeviceCatalog:
    """Return the devices that ship with zeropoint, those of the user, and this machine.

    The user's rows are read from devices.toml in the configuration directory. Raises
    UnsupportedModel, with the row and key, if they are not valid.
    """
    local = local or load_local_machine()
    path = config_directory() / "devices.toml"
    if not path.is_file():
        return DeviceCatalog(shipped_devices(), local.device)
    text = read_user_text(path, TABLE_BYTES, UnsupportedModel)
    return DeviceCatalog(with_user_devices(text, str(path)), local.device)
