/*
 * elf - reads the note NT_GNU_BUILD_ID of a 64-bit ELF file. The file is
 * anybody's: every length in it is checked.
 */
#include "kernel/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/fd.h"

#define MAX_NOTES 8192 /* bytes of a note segment that are looked at */
#define MAX_HEADERS 128

static int find_note(const char *p, size_t len, uint8_t *id, size_t *id_len)
{
	Elf64_Nhdr h;

	while (len >= sizeof(h)) {
		size_t name, desc;

		memcpy(&h, p, sizeof(h));
		name = (h.n_namesz + 3ul) & ~3ul;
		desc = (h.n_descsz + 3ul) & ~3ul;
		if (name > len - sizeof(h) || desc > len - sizeof(h) - name)
			return -ENOENT;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 &&
		    !memcmp(p + sizeof(h), "GNU", 4) && h.n_descsz &&
		    h.n_descsz <= ELF_BUILD_ID_MAX) {
			memcpy(id, p + sizeof(h) + name, h.n_descsz);
			*id_len = h.n_descsz;
			return 0;
		}
		p += sizeof(h) + name + desc;
		len -= sizeof(h) + name + desc;
	}
	return -ENOENT;
}

/* Headers and notes are all at the beginning, as a rule, and read at once. */
struct elf_begin {
	int fd;
	size_t len;
	char bytes[4096];
};

static int take(const struct elf_begin *b, void *out, size_t len, uint64_t at)
{
	if (len > b->len || at > b->len - len)
		return pread_all(b->fd, out, len, (off_t)at);
	memcpy(out, b->bytes + at, len);
	return 0;
}

/**
 * elf_build_id - the build id of a program or library
 * @fd: the file, readable; its position does not matter and does not move
 * @id: the id
 * @len: its bytes
 *
 * Return: 0; -ENOEXEC if it is no 64-bit ELF file; -ENOENT if it has no build id.
 */
int elf_build_id(int fd, uint8_t id[ELF_BUILD_ID_MAX], size_t *len)
{
	struct elf_begin begin = { .fd = fd };
	char notes[MAX_NOTES];
	ssize_t got = pread(fd, begin.bytes, sizeof(begin.bytes), 0);
	Elf64_Ehdr h;

	begin.len = got > 0 ? (size_t)got : 0;
	if (take(&begin, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) ||
	    h.e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOEXEC;
	for (unsigned i = 0; i < h.e_phnum && i < MAX_HEADERS; i++) {
		Elf64_Phdr p;

		if (take(&begin, &p, sizeof(p), h.e_phoff + i * sizeof(p)))
			return -ENOEXEC;
		if (p.p_type != PT_NOTE || p.p_filesz > sizeof(notes) ||
		    take(&begin, notes, p.p_filesz, p.p_offset))
			continue;
		if (!find_note(notes, p.p_filesz, id, len))
			return 0;
	}
	return -ENOENT;
}
