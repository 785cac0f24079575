/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http_chars.h"

const unsigned char http_token_lower[256] =
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	"\0!\0#$%&'\0\0*+\0-.\0"
	"0123456789\0\0\0\0\0\0"
	"\0abcdefghijklmnopqrstuvwxyz\0\0\0^_"
	"`abcdefghijklmnopqrstuvwxyz\0|\0~\0";
