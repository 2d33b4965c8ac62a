// The style sheet and the script of the report's page: page.css and page.js as they are, made part of the program when it is built.
// What they are used for is html's business.
#ifndef RUN_PAGE_H
#define RUN_PAGE_H

extern const char page_css[];
extern const char page_js[];

#endif
