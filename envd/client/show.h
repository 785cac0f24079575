/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes text of a peer to the operator's terminal. A file name or an error message of a guest may
 * contain sequences that change the terminal (ECMA-48 section 5.3), or characters that make the
 * terminal show another name than the real one.
 */
#ifndef CLIENT_SHOW_H
#define CLIENT_SHOW_H

#include <stddef.h>
#include <stdio.h>

/*
 * Writes the text with escapes: \n, \t and \\ for these three characters, \xNN for each byte that
 * is a control character (C0, DEL, C1), a character that reorders or hides text (bidirectional
 * controls, zero width), or not UTF-8.
 */
void show_text(FILE *to, const char *text);
void show_bytes(FILE *to, const char *p, size_t n);

/* Writes a JSON text. In its strings the same characters become \uNNNN, so it stays JSON. */
void show_json(FILE *to, const char *p, size_t n);

#endif
