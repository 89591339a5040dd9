#ifndef NESTBOX_STAGE_H
#define NESTBOX_STAGE_H
int nestbox_is_agent(void);
int nestbox_ignores_setid(void);
#endif
