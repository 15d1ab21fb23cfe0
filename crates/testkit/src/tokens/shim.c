/* A PKCS#11 module in front of another one: it fails as the file CONTROL says, and counts logins in LOGINS.
 *
 * Spec: PKCS#11 2.40, section 4 (CK_FUNCTION_LIST). Only what is changed here is declared; the rest of the list is
 * copied as it is. Compiled by the tests with REAL, CONTROL and LOGINS defined. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long rv_t;
typedef struct { unsigned char major, minor; } version_t;
typedef struct { version_t version; void *function[68]; } list_t;
typedef struct { unsigned long type; void *value; unsigned long length; } attribute_t;
/* label 32, manufacturer 32, model 16, serial 16, then the flags. */
typedef struct { unsigned char names[96]; unsigned long flags; } token_info_head_t;

/* Places in the list, after the version. */
enum { GET_TOKEN_INFO = 6, GET_SESSION_INFO = 15, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24, SIGN = 43 };
enum {
    GENERAL_ERROR = 0x05, DEVICE_REMOVED = 0x32, PIN_LOCKED = 0xa4, SESSION_HANDLE_INVALID = 0xb3,
    TOKEN_NOT_PRESENT = 0xe0
};
enum { FLAG_FINAL_TRY = 0x20000, FLAG_LOCKED = 0x40000, ATTRIBUTE_EC_POINT = 0x181,
       ATTRIBUTE_ALWAYS_AUTHENTICATE = 0x202 };

static list_t real, shown;

static int fault(const char *word) {
    char now[64] = "";
    FILE *file = fopen(CONTROL, "r");
    if (file == NULL) return 0;
    size_t length = fread(now, 1, sizeof now - 1, file);
    fclose(file);
    now[length] = 0;
    return strcmp(now, word) == 0;
}

static rv_t get_token_info(unsigned long slot, token_info_head_t *info) {
    if (fault("vanished")) return TOKEN_NOT_PRESENT;
    rv_t rv = ((rv_t (*)(unsigned long, token_info_head_t *))real.function[GET_TOKEN_INFO])(slot, info);
    if (rv == 0 && fault("final-try")) info->flags |= FLAG_FINAL_TRY;
    if (rv == 0 && fault("locked")) info->flags |= FLAG_LOCKED;
    return rv;
}

static rv_t login(unsigned long session, unsigned long user, unsigned char *pin, unsigned long length) {
    FILE *file = fopen(LOGINS, "a");
    if (file != NULL) { fputc('x', file); fclose(file); }
    if (fault("locks-now")) return PIN_LOCKED;
    return ((rv_t (*)(unsigned long, unsigned long, unsigned char *, unsigned long))real.function[LOGIN])(
        session, user, pin, length);
}

static rv_t real_sign(unsigned long session, unsigned char *data, unsigned long length, unsigned char *signature,
                      unsigned long *signature_length) {
    return ((rv_t (*)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *))
                real.function[SIGN])(session, data, length, signature, signature_length);
}

static rv_t sign(unsigned long session, unsigned char *data, unsigned long length, unsigned char *signature,
                 unsigned long *signature_length) {
    rv_t failure = fault("removed") ? DEVICE_REMOVED : fault("session-lost") ? SESSION_HANDLE_INVALID
                 : fault("vanished") || fault("broken") ? GENERAL_ERROR : 0;
    if (failure != 0) {
        /* A failure ends the operation (section 5.13), so the real one is brought to its end too. */
        unsigned char unused[512];
        unsigned long unused_length = sizeof unused;
        real_sign(session, data, length, unused, &unused_length);
        return failure;
    }
    rv_t rv = real_sign(session, data, length, signature, signature_length);
    if (rv == 0 && signature != NULL && fault("bad-signature")) signature[*signature_length / 2] ^= 1;
    return rv;
}

/* Takes the two bytes of DER off a point, or says that each use of a key takes the PIN. */
static rv_t get_attribute_value(unsigned long session, unsigned long object, attribute_t *list, unsigned long count) {
    rv_t rv = ((rv_t (*)(unsigned long, unsigned long, attribute_t *, unsigned long))
                   real.function[GET_ATTRIBUTE_VALUE])(session, object, list, count);
    int raw_point = fault("raw-point"), always = fault("always-authenticates");
    for (unsigned long i = 0; rv == 0 && i < count; i++) {
        unsigned char *value = list[i].value;
        if (value == NULL) continue;
        if (raw_point && list[i].type == ATTRIBUTE_EC_POINT && list[i].length > 2) {
            list[i].length -= 2;
            memmove(value, value + 2, list[i].length);
        }
        if (always && list[i].type == ATTRIBUTE_ALWAYS_AUTHENTICATE) *value = 1;
    }
    return rv;
}

rv_t C_GetFunctionList(list_t **list) {
    if (real.function[0] == NULL) {
        list_t *found = NULL;
        void *module = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
        rv_t (*get)(list_t **) = module == NULL ? NULL : (rv_t (*)(list_t **))dlsym(module, "C_GetFunctionList");
        if (get == NULL || get(&found) != 0) return GENERAL_ERROR;
        real = *found;
        shown = real;
        shown.function[GET_TOKEN_INFO] = (void *)get_token_info;
        shown.function[LOGIN] = (void *)login;
        shown.function[GET_ATTRIBUTE_VALUE] = (void *)get_attribute_value;
        shown.function[SIGN] = (void *)sign;
    }
    *list = &shown;
    return 0;
}
