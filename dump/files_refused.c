/*
 * files_refused - files that no type knows, by a name that tells whoever runs
 * the dump what they are.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
/* After the C library's own. */
#include <linux/vm_sockets.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

/* By what their link begins with. */
static const struct {
	const char *link, *what;
} objects[] = {
	{ "anon_inode:[perf_event]", "a performance counter (perf_event_open), whose "
				     "perf_event_attr the kernel does not tell" },
	{ IO_URING_LINK, "an io_uring, whose setup flags the kernel does not tell; programs often "
			 "have a switch or variable to do without" },
	{ "anon_inode:bpf-prog", "a BPF program" },
	{ "anon_inode:bpf_link", "a BPF link" },
	{ "anon_inode:bpf", "a BPF object" },
	{ "anon_inode:btf", "BPF type information" },
	{ "anon_inode:kvm", "a virtual machine (KVM)" },
	{ "anon_inode:[fscontext]", "a file system being mounted (fsopen)" },
	{ "anon_inode:[landlock-ruleset]", "a Landlock rule set" },
	{ "anon_inode:seccomp notify", "the listener of a seccomp filter" },
	{ "anon_inode:[secretmem]", "secret memory (memfd_secret)" },
	{ "/secretmem", "secret memory (memfd_secret)" },
	{ "anon_inode:sync_file", "a fence of a graphics driver" },
	{ "/dmabuf:", "a buffer of a driver (dma-buf)" },
	{ "anon_inode:[vfio", "a device in user space (VFIO)" },
	{ "anon_inode:iommufd", "an IOMMU (iommufd)" },
};

/**
 * file_special - is a regular file none in truth?
 * @fi: the file
 *
 * Return: what it is, or NULL for a file like others.
 */
const char *file_special(const struct fd_info *fi)
{
	struct statfs fs;

	if (!strncmp(fi->link, "/secretmem", 10) && !fi->st.st_nlink)
		return "secret memory (memfd_secret)";
	/* Its root is mounted where the user likes, or nowhere. */
	if (!(fi->flags & O_PATH) && fi->local >= 0 && !fi->st.st_blocks && fi->st.st_size == 80 &&
	    fstatfs(fi->local, &fs) == 0 && fs.f_type == MQUEUE_MAGIC)
		return "a POSIX message queue";
	return NULL;
}

/* " 2:1024 to 3:99", or "" where there is no way to say it. */
static const char *vsock_addresses(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct sockaddr_vm own = { 0 }, peer = { 0 };
	socklen_t len = sizeof(own);

	if (fi->domain != AF_VSOCK || getsockname(fi->local, (struct sockaddr *)&own, &len) < 0)
		return "";
	len = sizeof(peer);
	if (getpeername(fi->local, (struct sockaddr *)&peer, &len) < 0)
		return arena_printf(ctx->arena, ", context %u port %u", own.svm_cid, own.svm_port);
	return arena_printf(ctx->arena, ", context %u port %u to context %u port %u", own.svm_cid,
			    own.svm_port, peer.svm_cid, peer.svm_port);
}

static const char *socket_name(struct dump_ctx *ctx, const struct fd_info *fi)
{
	static const char *const family[] = {
		[AF_KEY] = "IPsec keys (AF_KEY)",
		[AF_RDS] = "RDS",
		[AF_CAN] = "CAN bus",
		[AF_TIPC] = "TIPC",
		[AF_ALG] = "crypto (AF_ALG)",
		[AF_BLUETOOTH] = "Bluetooth",
		[AF_VSOCK] = "vsock",
		[AF_KCM] = "KCM",
		[AF_QIPCRTR] = "Qualcomm IPC",
		[AF_SMC] = "SMC",
		[AF_XDP] = "XDP",
		[AF_NFC] = "NFC",
		[AF_PPPOX] = "PPPoX",
		[AF_RXRPC] = "RxRPC",
	};
	const size_t known = sizeof(family) / sizeof(*family);
	const char *name = fi->domain < known ? family[fi->domain] : NULL;
	int type = 0, proto = 0;
	socklen_t len = sizeof(int);

	getsockopt(fi->local, SOL_SOCKET, SO_TYPE, &type, &len);
	getsockopt(fi->local, SOL_SOCKET, SO_PROTOCOL, &proto, &len);
	if (!name)
		name = arena_printf(ctx->arena, "%u", fi->domain);
	return arena_printf(ctx->arena, "a socket of family %s, type %d, protocol %d%s", name, type,
			    proto, vsock_addresses(ctx, fi));
}

/**
 * file_unknown - what a file is that no type knows
 * @ctx: the dump
 * @fi: the file
 *
 * Return: words for an error.
 */
const char *file_unknown(struct dump_ctx *ctx, const struct fd_info *fi)
{
	switch (fi->st.st_mode & S_IFMT) {
	case S_IFSOCK:
		return socket_name(ctx, fi);
	case S_IFCHR:
	case S_IFBLK:
		return arena_printf(ctx->arena,
				    "%s device %u:%u, which --external dev[%u/%u]:NAME "
				    "leaves outside",
				    S_ISCHR(fi->st.st_mode) ? "character" : "block",
				    major(fi->st.st_rdev), minor(fi->st.st_rdev),
				    major(fi->st.st_rdev), minor(fi->st.st_rdev));
	case S_IFREG:
		if (file_special(fi))
			return file_special(fi);
		break;
	}
	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
		if (!strncmp(fi->link, objects[i].link, strlen(objects[i].link)))
			return objects[i].what;
	return "a file of a kind that is not known";
}
