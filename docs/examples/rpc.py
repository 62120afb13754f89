#!/usr/bin/python3
"""Dump or restore a process by the RPC, with the stock protobuf bindings.

    rpc.py dump PID DIR         write the tree under PID to the directory DIR; it ends
    rpc.py restore DIR          bring it back; prints the pid of its root
    rpc.py version

    --address PATH              ask the service that listens there
    --program PROGRAM           or start this program for the request (default: criu-lite)

The bindings are made from the project's rpc.proto, once:  protoc -Iproto --python_out=. rpc.proto
"""
import argparse
import os
import socket
import subprocess
import sys

import rpc_pb2 as rpc


class Connection:
    """To the service, or to a program that is started for it. One message is one packet."""

    def __init__(self, address=None, program="criu-lite"):
        self.program = None
        if address:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.socket.connect(address)
        else:
            self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.program = subprocess.Popen([program, "swrk", str(theirs.fileno())], pass_fds=[theirs.fileno()])
            theirs.close()

    def ask(self, request):
        self.socket.send(request.SerializeToString())
        while True:
            data = self.socket.recv(1 << 18)
            if not data:
                sys.exit("the service has gone before it answered")
            response = rpc.criu_resp()
            response.ParseFromString(data)
            if response.type != rpc.NOTIFY:
                return response
            # Told of a stage: say yes, or the work is undone.
            print("now:", response.notify.script, file=sys.stderr)
            yes = rpc.criu_req(type=rpc.NOTIFY, notify_success=True)
            self.socket.send(yes.SerializeToString())

    def close(self):
        self.socket.close()
        if self.program:
            self.program.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address")
    parser.add_argument("--program", default="criu-lite")
    parser.add_argument("command", choices=["dump", "restore", "version"])
    parser.add_argument("arguments", nargs="*")
    args = parser.parse_args()

    request = rpc.criu_req(type=getattr(rpc, args.command.upper()))
    if args.command != "version":
        *pid, directory = args.arguments
        # A descriptor of ours: the service takes it from here.
        request.opts.images_dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        request.opts.notify_scripts = True
        request.opts.log_level = 4  # in criu.log, in the same directory
        if pid:
            request.opts.pid = int(pid[0])

    connection = Connection(args.address, args.program)
    response = connection.ask(request)
    connection.close()
    if not response.success:
        sys.exit(response.cr_errmsg)
    if args.command == "restore":
        print(response.restore.pid)
    if args.command == "version":
        print("%d.%d" % (response.version.major_number, response.version.minor_number))


main()
