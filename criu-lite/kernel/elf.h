/*
 * elf - what identifies a program: the build id in its notes.
 */
#ifndef CL_KERNEL_ELF_H
#define CL_KERNEL_ELF_H

#include <stddef.h>
#include <stdint.h>

#define ELF_BUILD_ID_MAX 64 /* bytes */

int elf_build_id(int fd, uint8_t id[ELF_BUILD_ID_MAX], size_t *len);

#endif
