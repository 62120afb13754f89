/*
 * state - a canonical snapshot of a process tree as JSON, from a live tree or
 * from an image, its readable form, and the comparison of two. What is in it
 * and what is left out is listed in docs/STATE.md.
 */
#ifndef CL_MODEL_STATE_H
#define CL_MODEL_STATE_H

#include <stddef.h>
#include <stdio.h>

struct image_dir;
struct json_object;
struct pstree;

int state_json(struct pstree *t, struct json_object **out);
int state_print(FILE *f, struct json_object *state);
int state_show_locks(struct json_object *state, struct json_object **rows);
int state_print_locks(FILE *f, struct json_object *rows);
int state_show_doors(struct json_object *state, struct json_object **rows);
int state_print_doors(FILE *f, struct json_object *rows);
int state_diff(struct json_object *a, struct json_object *b, FILE *out, size_t *ndiff);

/* image/memhash_image.c: checksums of an image's memory, as a live tree has them. */
int state_hash_image(struct image_dir *d, struct pstree *t);

#endif
