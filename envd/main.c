/* The daemon: options, listeners, services, the loop. */
#include "base/log.h"

int main(void)
{
	log_info("envd: no service is built in yet");
	return 1;
}
