/*
 * bpfmap - BPF maps as bpf(2) sees them. A value of a map that has one for
 * each processor goes in and out as an array over all possible ones, each
 * rounded up to eight bytes (bpf(2), kernel/bpf/syscall.c:bpf_map_value_size()).
 */
#include "kernel/bpfmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/**
 * bpf_call - bpf(2)
 * @cmd: BPF_*
 * @attr: for it
 *
 * Return: what the call returns, or -errno.
 */
int bpf_call(int cmd, union bpf_attr *attr)
{
	long ret = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return ret < 0 ? -errno : (int)ret;
}

/**
 * bpf_map_info - what a map is
 * @fd: the map
 * @info: filled; zero where the kernel has no such field
 *
 * Return: 0 or -errno.
 */
int bpf_map_info(int fd, struct bpf_map_info *info)
{
	union bpf_attr attr = { .info = { .bpf_fd = (uint32_t)fd,
					  .info_len = sizeof(*info),
					  .info = (uint64_t)(uintptr_t)info } };

	memset(info, 0, sizeof(*info));
	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/**
 * bpf_map_per_cpu - has each processor a value of its own?
 * @type: BPF_MAP_TYPE_*
 *
 * Return: true if so.
 */
bool bpf_map_per_cpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/**
 * bpf_map_plain - does the map hold nothing but bytes, by keys?
 * @type: BPF_MAP_TYPE_*
 *
 * Return: true if so; false also where values are kernel objects or are gone once read.
 */
bool bpf_map_plain(uint32_t type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LPM_TRIE ||
	       bpf_map_per_cpu(type);
}

/**
 * bpf_map_type - what a type of map that is not plain is called, as by bpftool(8)
 * @type: BPF_MAP_TYPE_*
 *
 * Return: the name, "unknown" for one that is newer than this program.
 */
const char *bpf_map_type(uint32_t type)
{
	static const char *const names[] = {
		[BPF_MAP_TYPE_PROG_ARRAY] = "prog_array",
		[BPF_MAP_TYPE_PERF_EVENT_ARRAY] = "perf_event_array",
		[BPF_MAP_TYPE_STACK_TRACE] = "stack_trace",
		[BPF_MAP_TYPE_CGROUP_ARRAY] = "cgroup_array",
		[BPF_MAP_TYPE_ARRAY_OF_MAPS] = "array_of_maps",
		[BPF_MAP_TYPE_HASH_OF_MAPS] = "hash_of_maps",
		[BPF_MAP_TYPE_DEVMAP] = "devmap",
		[BPF_MAP_TYPE_SOCKMAP] = "sockmap",
		[BPF_MAP_TYPE_CPUMAP] = "cpumap",
		[BPF_MAP_TYPE_XSKMAP] = "xskmap",
		[BPF_MAP_TYPE_SOCKHASH] = "sockhash",
		[BPF_MAP_TYPE_CGROUP_STORAGE] = "cgroup_storage",
		[BPF_MAP_TYPE_REUSEPORT_SOCKARRAY] = "reuseport_sockarray",
		[BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE] = "percpu_cgroup_storage",
		[BPF_MAP_TYPE_QUEUE] = "queue",
		[BPF_MAP_TYPE_STACK] = "stack",
		[BPF_MAP_TYPE_SK_STORAGE] = "sk_storage",
		[BPF_MAP_TYPE_DEVMAP_HASH] = "devmap_hash",
		[BPF_MAP_TYPE_STRUCT_OPS] = "struct_ops",
		[BPF_MAP_TYPE_RINGBUF] = "ringbuf",
		[BPF_MAP_TYPE_INODE_STORAGE] = "inode_storage",
		[BPF_MAP_TYPE_TASK_STORAGE] = "task_storage",
		[BPF_MAP_TYPE_BLOOM_FILTER] = "bloom_filter",
	};

	return type < sizeof(names) / sizeof(*names) && names[type] ? names[type] : "unknown";
}

/**
 * bpf_possible_cpus - how many values a map that has one for each processor gives
 *
 * Return: their number, or -errno.
 */
int bpf_possible_cpus(void)
{
	FILE *in = fopen("/sys/devices/system/cpu/possible", "re");
	int n = 0, from, to, c = ',';

	if (!in)
		return -errno;
	while (c == ',' && fscanf(in, "%d", &from) == 1) {
		to = from;
		c = fgetc(in);
		if (c == '-') {
			if (fscanf(in, "%d", &to) != 1 || to < from)
				break;
			c = fgetc(in);
		}
		n += to - from + 1;
	}
	fclose(in);
	return n > 0 ? n : -EIO;
}

/**
 * bpf_value_bytes - how long a value is as bpf(2) gives and takes it
 * @type: BPF_MAP_TYPE_*
 * @value_size: of the map
 * @cpus: bpf_possible_cpus()
 *
 * Return: bytes.
 */
size_t bpf_value_bytes(uint32_t type, uint32_t value_size, int cpus)
{
	return bpf_map_per_cpu(type) ? ((size_t)value_size + 7) / 8 * 8 * (size_t)cpus : value_size;
}
