/*
 * bpfmap - BPF maps as bpf(2) sees them: calls, and how long a value is.
 */
#ifndef CL_KERNEL_BPFMAP_H
#define CL_KERNEL_BPFMAP_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int bpf_call(int cmd, union bpf_attr *attr);
int bpf_map_info(int fd, struct bpf_map_info *info);
bool bpf_map_per_cpu(uint32_t type);
bool bpf_map_plain(uint32_t type);
const char *bpf_map_type(uint32_t type);
int bpf_possible_cpus(void);
size_t bpf_value_bytes(uint32_t type, uint32_t value_size, int cpus);

#endif
