"""A file server with one file, in the way of Samba's: it writes only to its cache as long as it has a lease.

leaseholder.py FILE NAME: takes a WRITE lease, counts in memory, and when the kernel asks for the lease writes what it has
counted, says so in its own log, and gives the lease up. Two of them on one file keep each other going."""
import fcntl, os, signal, struct, sys, time

RT = signal.SIGRTMIN + 5
path, name = sys.argv[1:]
log = os.open("tally." + name, os.O_RDWR | os.O_CREAT, 0o600)
own = 0
signal.pthread_sigmask(signal.SIG_BLOCK, {RT})
while True:
    # Waits until the other one has given its lease up, or written.
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(fd, 10, RT)  # F_SETSIG
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        os.close(fd)
        time.sleep(0.001)
        continue
    cached = int(os.pread(fd, 20, 0) or b"0")
    counted = 0
    while fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK:
        cached, counted = cached + 1, counted + 1
        # Asked by the signal: the lease says so as well.
        signal.sigtimedwait({RT}, 0.002) if counted % 50 == 0 else None
    own += counted
    os.pwrite(fd, b"%020d" % cached, 0)
    os.pwrite(log, b"%020d" % own, 0)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.close(fd)
    while signal.sigtimedwait({RT}, 0):
        pass
    time.sleep(0.001)
