/*
 * grpc - what a unary call with 64 bytes costs by gRPC in C++, over a Unix
 * socket to an echo in another process. grpc SERVERS_CPU
 *
 * The message is built from tests/bench/grpc.proto by doors.py.
 */
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "grpc.grpc.pb.h"

namespace
{
constexpr int size = 64;
constexpr int calls = 3000;

void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

class Echo final : public bench::Echo::Service
{
	grpc::Status Call(grpc::ServerContext *, const bench::Bytes *in, bench::Bytes *out) override
	{
		out->set_data(in->data());
		return grpc::Status::OK;
	}
};

void serve(const std::string &address)
{
	Echo echo;
	grpc::ServerBuilder b;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	b.AddListeningPort(address, grpc::InsecureServerCredentials());
	b.RegisterService(&echo);
	b.BuildAndStart()->Wait();
}

double call(bench::Echo::Stub &stub)
{
	const auto begin = std::chrono::steady_clock::now();
	grpc::ClientContext context;
	bench::Bytes in, out;

	in.set_data(std::string(size, 'x'));
	context.set_wait_for_ready(true);
	if (!stub.Call(&context, in, &out).ok())
		exit(1);
	return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
		.count();
}
} // namespace

int main(int argc, char **argv)
{
	char dir[] = "/tmp/grpc-bench.XXXXXX";

	if (argc != 2 || !mkdtemp(dir))
		return 2;
	const std::string path = std::string(dir) + "/socket";
	const pid_t pid = fork();

	if (!pid) {
		pin(atoi(argv[1]));
		serve("unix:" + path);
		return 0;
	}
	pin(0);
	auto stub = bench::Echo::NewStub(
		grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
	std::vector<double> v(calls);

	for (int i = 0; i < calls / 10; i++)
		call(*stub);
	for (auto &t : v)
		t = call(*stub);
	kill(pid, SIGKILL);
	unlink(path.c_str());
	rmdir(dir);
	std::sort(v.begin(), v.end());
	printf("gRPC, %d bytes: p50 %.1f us\n", size, v[calls / 2]);
	return 0;
}
