# Fails where an object compiled for one instruction set defines a symbol outside that set's namespace: the linker
# could pick it for code that has to run on older processors.
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} -C --defined-only --extern-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    if(symbol MATCHES " [A-Za-z] " AND NOT symbol MATCHES "camfast::cpu::${ISA}::" AND NOT symbol MATCHES "DW.ref")
      message(SEND_ERROR "${object} defines ${symbol}")
    endif()
  endforeach()
endforeach()
