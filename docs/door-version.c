/*
 * door-version - ask the service for its version through its door:
 * cc door-version.c $(pkg-config --cflags --libs libdoor) && ./a.out PATH
 */
#include <door.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	char request[] = { 0x08, 0x0a };         /* CriuReq: type (field 1) is VERSION (10) */
	door_arg_t call = { .data_ptr = request, /* results in a mapping that is made for them */
			    .data_size = sizeof(request) };
	int door = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	door_info_t info;

	if (door < 0 || door_info(door, &info) < 0 || door_call(door, &call) < 0) {
		perror(argc > 1 ? argv[1] : "usage: door-version PATH");
		return 1;
	}
	printf("server %d answers with %zu bytes:", info.di_target, call.data_size);
	for (size_t i = 0; i < call.data_size; i++)
		printf(" %02x", (unsigned char)call.data_ptr[i]);
	putchar('\n');
	return munmap(call.rbuf, call.rsize) < 0;
}
