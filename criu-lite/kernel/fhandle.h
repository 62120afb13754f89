/*
 * fhandle - files by the handles that fdinfo shows, name_to_handle_at(2).
 */
#ifndef CL_KERNEL_FHANDLE_H
#define CL_KERNEL_FHANDLE_H

#include <stddef.h>
#include <stdint.h>

#define FHANDLE_MAX 128 /* bytes */

int fhandle_mount(uint32_t kdev);
int fhandle_mounts(int (*each)(void *arg, uint32_t kdev, const char *root, const char *path),
		   void *arg);
int fhandle_mount_path(uint32_t mnt_id, char *path, size_t size);
int fhandle_open(int mount_fd, const void *handle, uint32_t bytes, uint32_t type);

#endif
