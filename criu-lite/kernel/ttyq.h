/*
 * ttyq - the bytes that wait in a pseudoterminal, in both directions.
 *
 * The kernel has no way to look at them: they are taken out and put back.
 */
#ifndef CL_KERNEL_TTYQ_H
#define CL_KERNEL_TTYQ_H

#include <stdint.h>

#define TTYQ_INPUT 4096   /* what the line discipline holds */
#define TTYQ_OUTPUT 32768 /* and what is held before it */
#define TTYQ_EOFS 64

struct ttyq {
	uint32_t input;  /* bytes for readers of the slave */
	uint32_t output; /* bytes for the reader of the master */
	uint32_t nr_eof;
	uint32_t eof[TTYQ_EOFS]; /* an end of file was typed after so many bytes of input */
	char in[TTYQ_INPUT];
	char out[TTYQ_OUTPUT];
};

int ttyq_take(int master, int slave, struct ttyq *q);
int ttyq_put(int master, int slave, const struct ttyq *q);

#endif
