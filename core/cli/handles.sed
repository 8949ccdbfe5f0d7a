# The header as LuaJIT declares it: a tensor is a handle passed by value, struct ea_ref { p }, which
# the C calling conventions of all our targets pass as the pointer it holds. (A bare pointer could
# not have t[i] or t + 1: the FFI takes those for pointer arithmetic.)
1i typedef struct ea_ref { struct ea_tensor *p; } ea_ref;
s/ea_tensor \*const \*/const ea_ref */g
s/const ea_tensor \*/ea_ref /g
s/ea_tensor \*\*/ea_ref */g
s/ea_tensor \*/ea_ref /g
