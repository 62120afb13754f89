/*
 * probe-internal - what the probe files share. Only probe*.c include this.
 */
#ifndef CL_KERNEL_PROBE_INTERNAL_H
#define CL_KERNEL_PROBE_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#define PROBE_LIMIT_S 5 /* a child that takes longer is killed, the probe fails */

/* Runs @fn in a forked child; its 0 or -errno comes back. */
int probe_in_child(int (*fn)(void));
/* Runs @fn on a child that has run @setup (may be NULL) and is traced and stopped. */
int probe_traced(unsigned long options, int (*setup)(void), int (*fn)(pid_t pid));
/* Does a file have a line that starts with @word? 0 or -ENOENT, or -errno of reading. */
int probe_line(const char *path, const char *word);
/* In a child: a mount namespace with an empty tmpfs on /tmp. */
int probe_private_tmp(void);
/* In a child: a network namespace with its loopback up; stays in the old one without a right. */
void probe_private_net(void);

/* probe-task.c */
int probe_ptrace_seize(void);
int probe_peeksiginfo(void);
int probe_seccomp_suspend(void);
int probe_seccomp_filters(void);
int probe_rseq_conf(void);
int probe_breakpoints(void);
int probe_set_tid(void);
int probe_compat(void);
int probe_pidfd(void);
int probe_pidfd_thread(void);
int probe_kcmp_file(void);
int probe_kcmp_epoll(void);
int probe_nspid(void);
int probe_loginuid(void);
int probe_membarrier(void);
int probe_timer_ids(void);
int probe_apparmor(void);

/* probe-mem.c */
int probe_vm_readv(void);
int probe_mm_map(void);
int probe_pagemap_scan(void);
int probe_guard_pages(void);
int probe_dirty_track(void);
int probe_map_files(void);
int probe_uffd(void);
int probe_uffd_events(void);
int probe_map_vdso(void);
int probe_aio_remap(void);
int probe_memfd_hugetlb(void);
int probe_overlay_maps(void);

/* probe-file.c */
int probe_fdinfo_mnt_id(void);
int probe_fdinfo_lock(void);
int probe_pre_access(void);
int probe_timerfd(void);
int probe_tun(void);
int probe_tun_ns(void);
int probe_autofs(void);
int probe_openat2(void);
int probe_set_group(void);
int probe_userns(void);
int probe_cgroupns(void);
int probe_timens(void);

/* probe-net.c */
int probe_sock_diag(void);
int probe_diag_raw(void);
int probe_sk_ns(void);
int probe_sk_unix_file(void);
int probe_half_closed(void);
int probe_buf_lock(void);
int probe_ipv6_freebind(void);
int probe_nsid(void);
int probe_link_nsid(void);
int probe_newifindex(void);
int probe_nftables(void);
int probe_iptables(void);

#endif
