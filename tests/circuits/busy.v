// CELLS look-up tables with a flip-flop each, half of which change at every edge: as much work as so many cells can make.
`default_nettype none

module busy #(parameter CELLS = 50) (
    input wire ICE_35,
    output wire ICE_27
);
    reg [CELLS-1:0] state = 0;
    integer i;
    always @(posedge ICE_35) begin
        state[0] <= ~(state[CELLS-1] ^ state[CELLS-4]);
        for (i = 1; i < CELLS; i = i + 1)
            state[i] <= state[i-1] ^ (state[(i + 7) % CELLS] & state[(i + 11) % CELLS]);
    end
    assign ICE_27 = state[CELLS-1];
endmodule
