"""A bad line between two network namespaces: `wire.py NAMESPACE NAMESPACE DELAY_S LOSS SEED`.

One TUN device, `wire`, in each; what goes into one comes out of the other, later, or never. For kernels without netem.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DEVICE = "wire"


def open_device(namespace: str) -> int:
    """Return the file of a new device in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(place, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    os.close(place)
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    os.set_blocking(device, False)
    return device


def forward(devices: list[int], delay_s: float, loss: float, dice: random.Random) -> None:
    """Pass packets on for ever."""
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    while True:
        pause_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for device in select.select(devices, [], [], pause_s)[0]:
            other = devices[1 - devices.index(device)]
            try:
                packet = os.read(device, 65536)
            except OSError:  # the device is down
                continue
            count += 1
            if dice.random() >= loss:
                heapq.heappush(waiting, (time.monotonic() + delay_s, count, other, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, other, packet = heapq.heappop(waiting)
            try:
                os.write(other, packet)
            except OSError:  # down, or its queue is full
                continue


if __name__ == "__main__":
    one, two, delay, share, seed = sys.argv[1:]
    opened = [open_device(one), open_device(two)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    forward(opened, float(delay), float(share), random.Random(int(seed)))
